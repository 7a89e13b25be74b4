from django.urls import include, path, re_path

from . import views

parts = [
    path("items/<slug:item>", views.hello),
    re_path(r"^old/(?P<year>[0-9]{4})/(?:page-(\d+)/)?$", views.hello),
]
urlpatterns = [
    path("hello", views.hello),
    path("hello-async", views.hello_async),
    path("orders/<int:order_id>", views.order),
    path("missing/<int:order_id>", views.missing),
    path("fail", views.fail),
    path("fail-async", views.fail_async),
    path("broken", views.broken),
    path("stream", views.stream),
    path("stream-async", views.stream_async),
    path("stream-fails", views.stream_fails),
    path("file", views.file),
    path("slow", views.slow),
    path("thread", views.thread),
    path("burst/<int:size>", views.burst),
    path("shop/<slug:tenant>/", include((parts, "shop"), namespace="tenant")),
    re_path(r"^legacy/", include(parts)),
    path("obs/", include("obs_django.urls")),
]
