"""The results of a run: the table of figures, the printed report, the plot, and the machine."""
