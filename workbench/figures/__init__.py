"""What pictures show, as plain data: plots draw it with matplotlib, the dashboard puts it on a page."""
