"""The documentation of the API: the document, made from the code, and the page that shows it."""
