"""Books in the admin."""

from django.contrib import admin

from library.models import Book

admin.site.site_header = "Library"


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ("title", "author", "year")
    search_fields = ("title", "author")
