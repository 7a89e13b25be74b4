"""A minimal project: one application, no database, obs in three lines."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-this-example")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True

INSTALLED_APPS = ["obs_django", "shop"]
MIDDLEWARE = [
    "obs_django.middleware.ObsMiddleware",  # the first, so that it sees what the others do
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
ASGI_APPLICATION = "shop.asgi.application"

OBS = {"RUNTIME": "shop.observability.runtime"}
