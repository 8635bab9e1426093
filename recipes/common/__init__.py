"""Code that several recipes share."""
