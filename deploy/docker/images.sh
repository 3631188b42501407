# Sourced: what the images are called. docker-compose.yml calls them the same.
all=(auth catalog recommender worker)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../../libs/kit/pyproject.toml")

image() {
    echo "${RECMESH_IMAGES:-recmesh}/$1:${RECMESH_TAG:-$version}"
}
