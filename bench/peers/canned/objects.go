package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Placeholders in a template. What replaces them is exactly as long, so that an object is a copy of
// its template with a few bytes changed, in JSON as in protobuf.
const (
	indexMark   = "#INDEX##"            // of the object, 8 digits
	nodeMark    = "#NODE###"            // of the pod's node, 8 digits
	versionMark = "#VERSION##"          // resource version, 10 digits
	phaseMark   = "#PHASE#"             // Running or Pending
	sentMark    = "#SENT##############" // nanoseconds since 1970, 19 digits, of which 18 vary
	sentKey     = "bench.example.com/sent"
)

var began = metav1.NewTime(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC))

func quantities(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// managed is fieldsV1 as server-side bookkeeping writes it: one entry for each of `fields`.
func managed(manager string, prefix string, fields int) metav1.ManagedFieldsEntry {
	var text bytes.Buffer
	text.WriteString(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:` + prefix + `":{`)
	for i := range fields {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"k:{\"name\":\"field-%02d\"}":{".":{},"f:name":{},"f:value":{}}`, i)
	}
	text.WriteString("}}")
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
		Time: &began, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: text.Bytes()}}
}

func word(random *rand.Rand, length int) string {
	var text strings.Builder
	for range length {
		text.WriteByte("bcdfghjklmnpqrstvwxz2456789"[random.Intn(27)])
	}
	return text.String()
}

func probe(path string) *corev1.Probe {
	get := &corev1.HTTPGetAction{Path: path, Scheme: corev1.URISchemeHTTP}
	get.Port.IntVal = 8080
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
}

func container(random *rand.Rand, name string, variables int) corev1.Container {
	one := corev1.Container{
		Name: name, Image: "registry.example.com/team/" + name + ":v1.42.0@sha256:" + word(random, 64),
		Args:                     []string{"--config=/etc/service/config.yaml", "--listen=:8080", "--log-level=info"},
		Ports:                    []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Resources:                corev1.ResourceRequirements{Requests: quantities("250m", "512Mi"), Limits: quantities("1", "1Gi")},
		LivenessProbe:            probe("/healthz"),
		ReadinessProbe:           probe("/readyz"),
		TerminationMessagePath:   "/dev/termination-log",
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/service", ReadOnly: true},
			{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
	}
	for i := range variables {
		one.Env = append(one.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", i), Value: word(random, 12+random.Intn(12))})
	}
	return one
}

func podTemplate(random *rand.Rand) *corev1.Pod {
	app := "service-" + word(random, 6)
	yes, seconds := true, int64(300)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "service-" + indexMark, GenerateName: "service-", Namespace: "team", UID: types.UID("0b1e5a5e-5ca1-4e5e-8000-0000" + indexMark),
			ResourceVersion: versionMark, CreationTimestamp: began,
			Labels: map[string]string{"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/version": "v1.42.0",
				"pod-template-hash": word(random, 10), "team": word(random, 8), "environment": "production"},
			Annotations: map[string]string{sentKey: sentMark, "checksum/config": word(random, 64), "prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-" + word(random, 10),
				UID: types.UID("5e1f" + word(random, 32)), Controller: &yes, BlockOwnerDeletion: &yes}},
			ManagedFields: []metav1.ManagedFieldsEntry{managed("kube-controller-manager", "spec", 13+random.Intn(5)), managed("kubelet", "status", 7+random.Intn(3))},
		},
		Spec: corev1.PodSpec{
			Containers:    []corev1.Container{container(random, "server", 8+random.Intn(6)), container(random, "proxy", 2+random.Intn(4))},
			RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, ServiceAccountName: "default", NodeName: "node-" + nodeMark,
			SchedulerName: "default-scheduler", SecurityContext: &corev1.PodSecurityContext{},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds},
				{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &seconds}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: app}}}},
				{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}}}}}}},
		},
		Status: corev1.PodStatus{Phase: phaseMark, HostIP: "10.1.2.3", PodIP: "10.2.3.4", StartTime: &began, QOSClass: corev1.PodQOSBurstable},
	}
	for _, kind := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: began})
	}
	for _, one := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: one.Name, Ready: true, Started: &yes, Image: one.Image,
			ImageID: one.Image, ContainerID: "containerd://" + word(random, 64), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}})
	}
	return pod
}

func nodeTemplate(random *rand.Rand) *corev1.Node {
	name := "node-" + indexMark
	amounts := quantities("64", "512Gi")
	amounts["pods"] = resource.MustParse("250")
	amounts["nvidia.com/gpu"] = resource.MustParse("8")
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("70de5a5e-5ca1-4e5e-8000-0000" + indexMark), ResourceVersion: versionMark, CreationTimestamp: began,
			Labels: map[string]string{"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "p4d.24xlarge",
				"topology.kubernetes.io/region": "eu-1", "topology.kubernetes.io/zone": "eu-1" + word(random, 1), "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
			Annotations:   map[string]string{"csi.volume.kubernetes.io/nodeid": `{"disk.csi.example.com":"` + name + `"}`, "node.alpha.kubernetes.io/ttl": "0"},
			ManagedFields: []metav1.ManagedFieldsEntry{managed("kubelet", "status", 20)}},
		Spec: corev1.NodeSpec{PodCIDR: "10.4.0.0/24", ProviderID: "example:///" + name},
		Status: corev1.NodeStatus{Capacity: amounts, Allocatable: amounts,
			NodeInfo:  corev1.NodeSystemInfo{KernelVersion: "6.8.0", KubeletVersion: "v1.36.3", Architecture: "amd64", OperatingSystem: "linux", ContainerRuntimeVersion: "containerd://2.1"},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.1.2.3"}, {Type: corev1.NodeHostName, Address: name}}},
	}
	for _, kind := range []corev1.NodeConditionType{"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"} {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: kind, Status: corev1.ConditionFalse, LastHeartbeatTime: began,
			LastTransitionTime: began, Reason: "KubeletHasSufficient", Message: "kubelet has sufficient " + string(kind)})
	}
	node.Status.Conditions[3].Status = corev1.ConditionTrue
	for range 12 {
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{Names: []string{"registry.example.com/team/" + word(random, 8) + "@sha256:" + word(random, 64)}, SizeBytes: 123456789})
	}
	return node
}

// poolTemplate is a TrainingPool of about 2 KB; only JSON, as for every custom resource.
func poolTemplate(random *rand.Rand) string {
	var variables bytes.Buffer
	for i := range 14 {
		if i > 0 {
			variables.WriteByte(',')
		}
		fmt.Fprintf(&variables, `{"name":"SETTING_%02d","value":"%s"}`, i, word(random, 24))
	}
	return `{"apiVersion":"spillway.dev/v1alpha1","kind":"TrainingPool","metadata":{"name":"pool-` + indexMark + `","namespace":"team","uid":"9001a5e0-5ca1-4e5e-8000-0000` + indexMark +
		`","resourceVersion":"` + versionMark + `","generation":1,"creationTimestamp":"2026-11-24T08:00:00Z"},"spec":{"workers":4,"acceleratorsPerWorker":8,` +
		`"accelerators":[{"type":"nvidia-a100-80gb"}],"priorityClassName":"research","template":{"spec":{"containers":[{"name":"trainer","image":"registry.example.com/team/trainer@sha256:` +
		word(random, 64) + `","command":["torchrun","train.py","--epochs=3","--data=/data/` + word(random, 20) + `"],"env":[` + variables.String() +
		`],"resources":{"requests":{"cpu":"8","memory":"64Gi"}},"volumeMounts":[{"name":"data","mountPath":"/data"}]}],"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-` +
		word(random, 8) + `"}}]}}},"status":{"conditions":[{"type":"Ready","status":"False","reason":"Waiting","message":"No node group has room.","lastTransitionTime":"2026-11-24T08:00:00Z"}]}}`
}
