"""The report for a browser: the heatmap with what stands behind each cell, in one HTML file."""

from memscope.html_report.page import to_html

__all__ = ["to_html"]
