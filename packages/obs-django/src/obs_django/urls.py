"""`/metrics` and `/logs`: `path("obs/", include("obs_django.urls"))`, at a prefix of your choice."""

from django.urls import path

from . import views
from ._below import Below

app_name = "obs"

urlpatterns = [
    path("metrics", views.metrics, name="metrics"),
    path("logs", views.logs, name="logs"),
    # Without a name, so that nothing is reversed to them; for who types a slash as Django's own pages have one.
    path("metrics/", views.metrics),
    path("logs/", views.logs),
    Below(views.missing),
]
