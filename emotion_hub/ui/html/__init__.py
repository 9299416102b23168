"""HTML of the page: pure functions from results to strings.

Every text is escaped. Pictures are embedded as data URLs, so no copy of a face is written to the disk.
"""
