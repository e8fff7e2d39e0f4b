"""One module a panel: `collect(results, options)` gives its blocks, or what would have to be done to have some."""
