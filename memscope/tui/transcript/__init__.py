"""The conversation as a tree that folds: its nodes, their texts, what is found in it; knows no widget."""
