import os
from pathlib import Path

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))
SECRET_KEY = "for tests alone"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "obs_django",
]
MIDDLEWARE = ["obs_django.middleware.ObsMiddleware"]
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "shop.sqlite3"}}
OBS = {"RUNTIME": os.environ.get("SHOP_RUNTIME", "shop.obs.runtime"), "TOKEN": "sesame"}
