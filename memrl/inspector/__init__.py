"""Recorded episodes as one page in the browser, where every panel follows the step."""
