import pytest

from helpers.routes import candidate, catalog
from tollway.domain.call import Preferences
from tollway.domain.errors import ModelNotFound, ProviderNotFound
from tollway.routing.catalog import Catalog, Resolution

TWO = catalog(
    candidate("east", "acme/m", upstream="m-2024"),
    candidate("west", "acme/m", upstream="big"),
    candidate("west", "acme/big", upstream="m-2024"),
    aliases={"m": "acme/m", "west:odd": "acme/big"},
)


def keys(found: Resolution) -> list[str]:
    return [route.key for route in found.asked]


def test_an_id_stands_for_all_that_serve_the_model_in_their_order() -> None:
    found = TWO.resolve("acme/m")
    assert keys(found) == ["east:acme/m", "west:acme/m"]
    assert found.every == found.asked
    assert found.pinned is None


def test_an_alias_stands_for_its_model() -> None:
    assert TWO.resolve("m") == TWO.resolve("acme/m")


@pytest.mark.parametrize("right", ["acme/m", "m", "big"])
def test_a_pin_takes_an_id_an_alias_or_the_providers_own_name(right: str) -> None:
    found = TWO.resolve(f"west:{right}")
    assert keys(found) == ["west:acme/m"]
    assert [route.key for route in found.every] == ["east:acme/m", "west:acme/m"]
    assert (found.model.id, found.pinned) == ("acme/m", "west")


def test_a_providers_own_name_means_what_it_means_at_that_provider() -> None:
    assert keys(TWO.resolve("east:m-2024")) == ["east:acme/m"]
    assert keys(TWO.resolve("west:m-2024")) == ["west:acme/big"]


def test_in_a_pin_an_alias_of_a_model_that_the_provider_lacks_may_still_be_its_own_name() -> None:
    made = catalog(
        candidate("east", "acme/m"), candidate("west", "other/x", upstream="fast"), aliases={"fast": "acme/m"}
    )
    assert keys(made.resolve("west:fast")) == ["west:other/x"]


def test_when_a_providers_own_name_serves_two_models_a_pin_by_it_means_the_first() -> None:
    made = catalog(candidate("east", "a/one", upstream="same"), candidate("east", "a/two", upstream="same"))
    assert keys(made.resolve("east:same")) == ["east:a/one"]


def test_a_whole_id_or_alias_with_a_colon_is_no_pin() -> None:
    made = catalog(candidate("east", "acme/m"), candidate("west", "east:acme/m"), aliases={"east:m": "east:acme/m"})
    assert keys(made.resolve("east:acme/m")) == ["west:east:acme/m"]
    assert keys(made.resolve("east:m")) == ["west:east:acme/m"]
    assert keys(TWO.resolve("west:odd")) == ["west:acme/big"]


def test_a_pin_is_split_at_the_first_colon_and_only_after_a_provider() -> None:
    made = catalog(candidate("east", "acme/m:free"))
    assert keys(made.resolve("east:acme/m:free")) == ["east:acme/m:free"]
    assert keys(made.resolve("acme/m:free")) == ["east:acme/m:free"]


@pytest.mark.parametrize("name", ["", ":", "acme/n", "east", "nobody:acme/m", "east:", ":acme/m", "east:acme/big"])
def test_an_unknown_model_is_a_404_that_names_the_field_and_where_to_look(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        TWO.resolve(name, "models[2]")
    assert caught.value.status == 404
    assert caught.value.param == "models[2]"
    assert "GET /v1/models" in caught.value.message


def test_an_unknown_model_is_answered_with_the_near_names() -> None:
    made = catalog(
        candidate("east", "openai/gpt-4o"), candidate("east", "openai/gpt-4o-mini"), candidate("east", "x/y")
    )
    with pytest.raises(ModelNotFound, match=r"Did you mean openai/gpt-4o or openai/gpt-4o-mini\?") as caught:
        made.resolve("openai/gpt4o")
    assert caught.value.param == "model"


def test_a_pin_to_a_model_that_the_provider_lacks_names_what_is_near_at_that_provider() -> None:
    with pytest.raises(ModelNotFound, match=r"Provider east does not serve 'acme/mm'\. Did you mean acme/m\?"):
        TWO.resolve("east:acme/mm")
    with pytest.raises(ModelNotFound, match="Provider east does not serve 'big'"):
        TWO.resolve("east:big")


def test_an_unknown_name_is_quoted_escaped_and_cut() -> None:
    with pytest.raises(ModelNotFound) as caught:
        TWO.resolve("\n" + "x" * 10_000)
    assert len(caught.value.message) < 250
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("field", ["order", "only", "ignore"])
def test_an_unknown_provider_in_a_preference_is_a_404_that_names_the_entry(field: str) -> None:
    preferences = Preferences(**{field: ("east", "wets")})
    with pytest.raises(ProviderNotFound, match=r"no provider 'wets'\. Did you mean west\? GET /v1/providers") as caught:
        TWO.require_providers(preferences)
    assert caught.value.status == 404
    assert caught.value.param == f"provider.{field}[1]"


def test_known_providers_in_preferences_pass() -> None:
    TWO.require_providers(Preferences(order=("east",), only=("east", "west"), ignore=("west",)))


def test_a_model_lists_its_aliases_and_the_largest_sizes_of_its_candidates() -> None:
    small = candidate("east", "acme/m")
    large = candidate("west", "acme/m")
    large = type(large)(**{f: getattr(large, f) for f in large.__struct_fields__} | {"context_length": 99_999})
    model = Catalog([small, large], {"m": "acme/m", "em": "acme/m"}, ["east", "west"]).models["acme/m"]
    assert (model.id, model.aliases) == ("acme/m", ("m", "em"))
    assert (model.context_length, model.max_output_tokens) == (99_999, 1024)
    assert model.candidates == (small, large)


def test_the_catalog_lists_models_by_id_providers_and_what_each_serves() -> None:
    made = catalog(candidate("east", "b/b"), candidate("east", "a/a"), aliases={"a": "a/a"}, providers=["idle"])
    assert list(made.models) == ["b/b", "a/a"]
    assert list(made.providers) == ["east", "idle"]
    assert [c.model for c in made.served_by("east")] == ["b/b", "a/a"]
    assert made.served_by("idle") == made.served_by("nobody") == ()
    assert list(made.keys) == ["east:b/b", "east:a/a"]


def test_the_listing_of_models_cant_be_written_to() -> None:
    with pytest.raises(TypeError):
        TWO.models["x"] = TWO.models["acme/m"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("candidates", "aliases", "providers"),
    [
        ([candidate("east"), candidate("east")], {}, ["east"]),
        ([candidate("nobody")], {}, ["east"]),
        ([], {}, ["east", "east"]),
        ([], {}, ["ea:st"]),
        ([candidate("east")], {"m": "acme/none"}, ["east"]),
        ([candidate("east")], {"acme/m": "acme/m"}, ["east"]),
    ],
    ids=["model twice", "unknown provider", "provider twice", "colon", "dangling alias", "alias is an id"],
)
def test_a_catalog_that_contradicts_itself_cant_be_built(candidates: list, aliases: dict, providers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"provider|alias|candidate"):
        Catalog(candidates, aliases, providers)
