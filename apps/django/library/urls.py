"""The pages: a list of books, and the admin."""

import os

from django.contrib import admin
from django.shortcuts import render
from django.urls import path

from library.models import Book


def home(request):
    context = {"books": Book.objects.all(), "pid": os.getpid(), "uid": os.getuid()}
    return render(request, "library/home.html", context)


urlpatterns = [path("", home), path("admin/", admin.site.urls)]
