"""Show events and plain data: lines, JSON, a live view, tables and pages. Nothing here reads a journal."""
