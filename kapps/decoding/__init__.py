"""Models that write token after token: one step of them, what is written by it, and how the best is looked for."""
