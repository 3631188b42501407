"""Renders and checks what Recmesh is shipped with, without running it: Kubernetes manifests, compose file, Dockerfiles,
the workflows of CI.

A rule is a function from a set of documents to findings, in `rules/`. `render` puts each combination of overlay and
components through all of them.
"""
