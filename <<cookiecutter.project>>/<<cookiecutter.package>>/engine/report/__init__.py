"""What a run looks like: the page of one run and the page of all runs; whatever draws is loaded when a page is written."""
