"""Networks of attention: sequences to sequences, with recurrent networks beside it or without."""
