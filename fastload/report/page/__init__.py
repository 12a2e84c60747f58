"""report.html and the page of a comparison: one file each, with plots, that opens without a network."""
