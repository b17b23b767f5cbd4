"""What is wrong with a machine or with a running pipeline, in words, each with its cure."""
