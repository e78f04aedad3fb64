"""From a request to verified files in place: joins catalog, fetch, store, formats and rewrite."""
