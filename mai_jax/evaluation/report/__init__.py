"""Result files of an evaluation: records, tables, curves, a picture and an HTML page."""
