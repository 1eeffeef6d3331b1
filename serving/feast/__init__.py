"""The Feast door: `POST /get-online-features` as Feast's own feature server answers it.

    body --request-->   OnlineFeaturesRequest          | errors -> 422 with the place
      --select-->       FeatureService                 | errors -> 404 as Feast's SDK raises it
      --entities-->     typed join keys and request fields
      --published-->    what Feast's SDK would read    | header `forebay-as-of` -> as_of, by the scorer's code
      --encode-->       Feast's JSON

`route` wires it; `errors` is the only place that knows status codes.
"""
