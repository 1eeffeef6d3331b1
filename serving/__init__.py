"""Scoring: one `Scorer`, two doors.

Kafka record | HTTP request
  --decode, validate-->           ScoringRequest            serving.request
  --read-->      entity rows      --as of t--> columns      serving.feature_reader
  --on-demand transforms, policies--> feature columns       serving.on_demand, serving.policy
  --model-->     scores                                     serving.model
  --encode-->    Prediction       -> topic | response       serving.worker, serving.http
"""
