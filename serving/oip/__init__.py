"""The door of the Open Inference Protocol, version 2: the same models, asked in tensors.

    REST body | gRPC message
      --translate-->   InferRequest        `bodies`, `messages`
      --infer-->       InferResponse       `inference`: a model alone, or its scores of entities
      --translate-->   REST body | gRPC message

`inference` is the one path; `rest` and `grpc_server` translate. `errors` is the only place that knows status codes.
"""
