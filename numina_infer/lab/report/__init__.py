"""Makes one HTML page of a run, which needs no network.

In: a run folder. Out: `report.html`, in which a hostile text of the log stays text.
`report_page.py` writes the page from the template `report.html`; `page_data.py` folds the log into its rows and its
timeline, with `texts.py` for texts and programs, and their `formulae.py`.
"""
