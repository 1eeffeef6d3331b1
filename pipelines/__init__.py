"""The streaming side of Forebay: Kafka records in, entity rows in Redis out.

    Kafka record
      --decode-->    Event            forebay.pipelines.steps.decode.decoder      | DecodeError  -> dead letter
      --validate-->  Event            forebay.pipelines.steps.validate    | InvalidEvent -> dead letter
      --route-->     record keyed by the view's entity            (only when the topic is keyed otherwise)
      --transform--> Event            forebay.pipelines.steps.transform   (the view's own function)
      --aggregate--> tiles, windows   forebay.pipelines.steps.windows.aggregate   | too late     -> late topic
      --write, fenced-->              entity row in Redis         | store down   -> retry, never commit

`forebay.pipelines.compiler` makes the plan from a Feast registry and is alone in importing Feast;
`forebay.pipelines.feature_processor` runs the walk; `forebay.pipelines.history` runs its steps over history.
"""
