"""What `emitting` serves, with a page that keeps its worker for a minute."""

import time

import emitting


def application(environ, start_response):
    if environ["PATH_INFO"] == "/block":
        time.sleep(60)
    return emitting.application(environ, start_response)
