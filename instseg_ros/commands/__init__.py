"""The commands of `instseg`, a module each."""
