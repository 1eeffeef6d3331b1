"""The serving side of Forebay: events and requests in, predictions out.

Kafka record | HTTP request
  --decode, validate-->           ScoringRequest            serving.features.request
  --read-->      entity rows      --as of t--> columns      serving.features.read
  --on-demand transforms, policies--> feature columns       serving.features.on_demand, serving.features.missing_values
  --model-->     scores                                     serving.models.model
  --encode-->    Prediction       -> topic | response       serving.worker.loop, serving.http
"""
