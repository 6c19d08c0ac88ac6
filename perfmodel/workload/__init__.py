"""What is computed: operators as loop nests, graphs, and their operator tables."""
