package deploy_test

import (
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// tier is what the manifest of one says, by kind. Each is there once.
func tier(t *testing.T, name string) map[string]map[string]any {
	t.Helper()
	path := filepath.Join("kubernetes", "collector", name+".yaml")
	all := map[string]map[string]any{}
	for _, document := range documents(t, path, read(t, path)) {
		all[document["kind"].(string)] = document
	}
	return all
}

// mounted is the folder of a volume in the collector.
func mounted(pod any, volume string) any {
	return dig(pod, "containers", "collector", "volumeMounts", volume, "mountPath")
}

// What the objects of a tier say of each other must be so.
func TestTheTiersOfCollectorsFit(t *testing.T) {
	for name, is := range map[string]struct{ kind, volume string }{"edge": {"DaemonSet", "queue"}, "gateway": {"StatefulSet", "queue"}, "metrics": {"StatefulSet", "state"}} {
		all := tier(t, name)
		pod := dig(all[is.kind], "spec", "template", "spec")
		var config map[string]any
		if err := yaml.Unmarshal([]byte(dig(all["ConfigMap"], "data", "collector.yaml").(string)), &config); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for what, c := range map[string]struct{ got, want any }{
			"the pod's labels":         {dig(all[is.kind], "spec", "template", "metadata", "labels", "app"), dig(all[is.kind], "spec", "selector", "matchLabels", "app")},
			"the network policy":       {dig(all["NetworkPolicy"], "spec", "podSelector", "matchLabels", "app"), name},
			"the service account":      {dig(pod, "serviceAccountName"), dig(all["ServiceAccount"], "metadata", "name")},
			"the configuration's map":  {dig(pod, "volumes", "config", "configMap", "name"), dig(all["ConfigMap"], "metadata", "name")},
			"the configuration's path": {dig(pod, "containers", "collector", "args").([]any)[1], mounted(pod, "config").(string) + "/collector.yaml"},
			"the queue's folder":       {dig(config, "extensions", "file_storage", "directory"), mounted(pod, is.volume)},
		} {
			if c.got == nil || c.got != c.want {
				t.Errorf("%s: %s: got %v, want %v", name, what, c.got, c.want)
			}
		}
	}
}

// A pod of a StatefulSet shows who it is by its service account, and keeps its name and what it
// has to remember.
func TestStatefulSetsKeepTheirIdentityAndTheirVolume(t *testing.T) {
	for name, volume := range map[string]string{"gateway": "queue", "metrics": "state"} {
		wantKept(t, tier(t, name), name, volume)
	}
}

func wantKept(t *testing.T, all map[string]map[string]any, name, volume string) {
	t.Helper()
	set := all["StatefulSet"]
	for what, c := range map[string]struct{ got, want any }{
		"the webhook's label":   {dig(set, "spec", "template", "metadata", "labels", "azure.workload.identity/use"), "true"},
		"the account's client":  {dig(all["ServiceAccount"], "metadata", "annotations", "azure.workload.identity/client-id"), "CLIENT_ID"},
		"the service":           {dig(set, "spec", "serviceName"), dig(all["Service"], "metadata", "name")},
		"the disruption budget": {dig(all["PodDisruptionBudget"], "spec", "selector", "matchLabels", "app"), dig(set, "spec", "selector", "matchLabels", "app")},
		"its name":              {dig(set, "spec", "template", "spec", "containers", "collector", "env", "POD_NAME", "valueFrom", "fieldRef", "fieldPath"), "metadata.name"},
		"its volume":            {dig(set, "spec", "volumeClaimTemplates").([]any)[0].(map[string]any)["metadata"].(map[string]any)["name"], volume},
		"what becomes of it":    {dig(set, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"), "Retain"},
	} {
		if c.got == nil || c.got != c.want {
			t.Errorf("%s: %s: got %v, want %v", name, what, c.got, c.want)
		}
	}
}

// There are as many pods as there are parts, and each knows by its name which one is its.
func TestEachPartOfTheMetricsHasAPod(t *testing.T) {
	all := tier(t, "metrics")
	var config map[string]any
	if err := yaml.Unmarshal([]byte(dig(all["ConfigMap"], "data", "collector.yaml").(string)), &config); err != nil {
		t.Fatal(err)
	}
	shard := dig(config, "receivers", "aws_cloudwatch_metrics", "shard")
	for what, c := range map[string]struct{ got, want any }{
		"the parts":     {dig(shard, "count"), dig(all["StatefulSet"], "spec", "replicas")},
		"a pod's name":  {dig(shard, "pod_name"), "${env:POD_NAME}"},
		"the cursor":    {dig(config, "receivers", "aws_cloudwatch_metrics", "storage"), "file_storage"},
		"the key's way": {filepath.Dir(dig(config, "exporters", "elasticsearch", "api_key_file").(string)), mounted(dig(all["StatefulSet"], "spec", "template", "spec"), "key")},
	} {
		if c.got == nil || c.got != c.want {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}
