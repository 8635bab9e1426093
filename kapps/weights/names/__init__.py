"""Names of layers in other libraries: one module for each family, with one function for each library."""
