"""What the samples mean: histograms, kernels, metrics and the summary. Pure: no clock, no sockets, no asyncio."""
