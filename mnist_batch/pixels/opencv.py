"""OpenCV, imported only here: it gets a pixel limit and one thread, and logs nothing about corrupt scans."""

import os

# OpenCV reads the limit when it is imported. 40 million pixels are more than an A4 page at 600 dpi has.
MAX_PIXELS = int(os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "40000000"))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a corrupt scan is a row with a reason, not a log line

import cv2 as cv2

cv2.setNumThreads(1)  # an actor has one CPU; OpenCV would take them all
