"""What other libraries call our layers: a module a family, a function a library, from our name to theirs."""
