# Runs ec2-elasticsearch.yaml in the sandbox, with the names and secrets of its demo:
#
#   keyless sandbox exec --isolated -- sh deploy/collector/try-ec2-elasticsearch.sh
set -eu
config=$(dirname "$0")/ec2-elasticsearch.yaml
dir=$(mktemp -d)
trap 'kill "$collector"; wait "$collector" || :; rm -rf "$dir"' EXIT

printf demo:demo-key-is-not-a-secret >"$dir/key"
export AUDIENCE=api://a3d5c0de-0000-4000-8000-0000000000a1 ROLE_ARN=arn:aws:iam::111122223333:role/keyless-demo AWS_REGION=us-east-1
export ELASTICSEARCH="$KEYLESS_SANDBOX_ELASTICSEARCH_URL" ELASTICSEARCH_KEY_FILE="$dir/key"
export STATE_DIRECTORY="$dir" DEAD_LETTER="$dir/dead-letter.jsonl"

keyless-collector estimate --config "$config" | grep 'per month'
keyless-collector --config "$config" 2>"$dir/log" &
collector=$!
documents() {
	curl --silent --user demo:demo-search-is-not-a-secret "$ELASTICSEARCH/sandbox/documents/metrics-aws.ec2_metrics-default"
}
until documents | grep --quiet '"_id"'; do
	kill -0 "$collector" || { cat "$dir/log" >&2 && exit 1; }
	sleep 1
done
echo "$(documents | grep -o '"_id"' | wc -l) documents; one has"
documents | grep -o '"CPUUtilization":{[^}]*}' | head -n 1
keyless status --collector 127.0.0.1:8888
