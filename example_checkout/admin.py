"""The shop's rows, for staff."""

from django.contrib import admin

from example_checkout.models import Contact, Product, SalesLedger


@admin.register(Contact)
class ContactAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "email", "user"]
    search_fields = ["name", "email"]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "price", "on_plan"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(SalesLedger)
class SalesLedgerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["pk", "product", "contact", "quantity", "status", "overdue", "created_at"]
    list_filter = ["status", "product"]
    list_select_related = ["product", "contact"]
    search_fields = ["contact__name", "contact__email"]
