"""Every SQL statement of the app, a module a table, the connection first: ``rows.span(con, project, 0, 500)``.

Frames go in and out whole. Transactions belong to the caller (`Database.write`), so that what belongs together
is written together.
"""
