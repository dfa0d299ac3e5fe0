"""One folder a page: its `__init__.py` holds `PAGE`, its `page.py` a `render()`. Nothing else names a page."""
