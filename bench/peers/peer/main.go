// Peer does with client-go, or with controller-runtime's cache, what bench/sync_bench does with
// Spillway's reflectors, against the same canned server, and prints one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

const sentKey = "bench.example.com/sent"

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// memory in bytes, by its name in /proc/self/status.
func memory(name string) int64 {
	file, err := os.Open("/proc/self/status")
	check(err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), name+":"); found {
			kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			check(err)
			return kilobytes << 10
		}
	}
	return 0
}

func settle() {
	for range 3 {
		runtime.GC()
		debug.FreeOSMemory()
	}
}

// strip keeps of a pod and of a node what Spillway keeps of them, in Go's types.
func strip(object any) (any, error) {
	switch one := object.(type) {
	case *corev1.Pod:
		kept := &corev1.Pod{Spec: corev1.PodSpec{NodeName: one.Spec.NodeName}, Status: corev1.PodStatus{Phase: one.Status.Phase}}
		kept.Name, kept.Namespace, kept.UID = one.Name, one.Namespace, one.UID
		kept.ResourceVersion, kept.CreationTimestamp = one.ResourceVersion, one.CreationTimestamp
		if sent, found := one.Annotations[sentKey]; found && !strings.HasPrefix(sent, "0000") {
			kept.Annotations = map[string]string{sentKey: sent}
		}
		for _, container := range one.Spec.Containers {
			kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: container.Resources.Requests}})
		}
		for _, condition := range one.Status.Conditions {
			if condition.Type == corev1.PodReady {
				kept.Status.Conditions = append(kept.Status.Conditions, condition)
			}
		}
		return kept, nil
	case *corev1.Node:
		one.ManagedFields, one.Status.Images, one.Status.Capacity = nil, nil, nil
	}
	return object, nil
}

// events counts what handlers are called with, and how late.
type events struct {
	seen atomic.Int64
	late []int64 // nanoseconds; of the one goroutine that calls handlers
}

func (e *events) handler() toolscache.ResourceEventHandlerFuncs {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { e.seen.Add(1) },
		UpdateFunc: func(_, object any) {
			if pod, isPod := object.(*corev1.Pod); isPod {
				if sent, err := strconv.ParseInt(pod.Annotations[sentKey], 10, 64); err == nil && sent > 0 {
					e.late = append(e.late, time.Now().UnixNano()-sent)
				}
			}
			e.seen.Add(1)
		},
	}
}

func (e *events) wait(count int64) {
	for deadline := time.Now().Add(10 * time.Minute); e.seen.Load() < count; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			log.Fatalf("%d of %d events came", e.seen.Load(), count)
		}
	}
}

// coreClient is the typed client of the core group, as a clientset makes it.
func coreClient(config *rest.Config) *rest.RESTClient {
	core := rest.CopyConfig(config)
	core.GroupVersion, core.APIPath, core.NegotiatedSerializer = &corev1.SchemeGroupVersion, "/api", scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(core)
	check(err)
	return client
}

// start has pods and nodes cached in one of the ways; handlers are told of each object. Who reads them: of
// controller-runtime alone.
func start(ctx context.Context, config *rest.Config, side string, all *events) client.Reader {
	if side == "controller-runtime" {
		mapper := meta.NewDefaultRESTMapper(nil) // in place of discovery, which the canned server has not
		mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
		mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
		c, err := cache.New(config, cache.Options{Scheme: scheme.Scheme, Mapper: mapper})
		check(err)
		for _, object := range []client.Object{&corev1.Pod{}, &corev1.Node{}} {
			informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
			check(err)
			_, err = informer.AddEventHandler(all.handler())
			check(err)
		}
		go func() { check(c.Start(ctx)) }()
		return c
	}
	for plural, object := range map[string]k8sruntime.Object{"pods": &corev1.Pod{}, "nodes": &corev1.Node{}} {
		list := toolscache.NewListWatchFromClient(coreClient(config), plural, "", fields.Everything())
		informer := toolscache.NewSharedIndexInformer(list, object, 0, toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
		if strings.HasSuffix(side, "-stripped") {
			check(informer.SetTransform(strip))
		}
		_, err := informer.AddEventHandler(all.handler())
		check(err)
		go informer.Run(ctx.Done())
	}
	return nil
}

// reconcile has a queue of all pods worked off by who reads three objects for each and finds nothing to do: it and
// the two after it, as a pool, its Job and its PodDisruptionBudget would be.
func reconcile(ctx context.Context, reader client.Reader, keys []types.NamespacedName) {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcileKey]())
	for i := range keys {
		queue.Add(reconcileKey(i))
	}
	for range keys {
		key, _ := queue.Get()
		for next := range reconcileKey(3) {
			var pod corev1.Pod
			check(reader.Get(ctx, keys[(key+next)%reconcileKey(len(keys))], &pod))
		}
		queue.Forget(key)
		queue.Done(key)
	}
}

type reconcileKey int

// keysOf is of all pods that are cached.
func keysOf(ctx context.Context, reader client.Reader) []types.NamespacedName {
	var pods corev1.PodList
	check(reader.List(ctx, &pods, client.UnsafeDisableDeepCopy))
	keys := make([]types.NamespacedName, 0, len(pods.Items))
	for i := range pods.Items {
		keys = append(keys, client.ObjectKeyFromObject(&pods.Items[i]))
	}
	return keys
}

// idle opens as many watches of nothing.
func idle(ctx context.Context, config *rest.Config, watches int) {
	core := coreClient(config)
	for i := range watches {
		list := toolscache.NewFilteredListWatchFromClient(core, "pods", "", func(options *metav1.ListOptions) {
			options.FieldSelector = fields.OneTermEqualSelector("metadata.name", fmt.Sprintf("none-%d", i)).String()
		})
		informer := toolscache.NewSharedIndexInformer(list, &corev1.Pod{}, 0, toolscache.Indexers{})
		go informer.Run(ctx.Done())
		toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
	}
	time.Sleep(time.Second) // until the watches that follow the lists are open
}

func percentile(sorted []int64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(part*float64(len(sorted)-1))]) / 1e3
}

func main() {
	server := flag.String("server", "", "http://127.0.0.1:PORT")
	side := flag.String("side", "client-go-json", "client-go-json, client-go-protobuf, either with -stripped, or controller-runtime")
	objects := flag.Int64("objects", 0, "how many the server has")
	count := flag.Int64("events", 0, "to be sent after the lists")
	rate := flag.Float64("rate", 0, "of them, a second; 0: as fast as can be")
	reconciles := flag.Bool("reconcile", false, "once all is in, have all pods reconciled (controller-runtime only)")
	watches := flag.Int("idle", 0, "only open this many watches that say nothing")
	flag.Parse()
	ctrllog.SetLogger(logr.Discard())
	config := &rest.Config{Host: *server, QPS: -1, DisableCompression: true}
	if strings.Contains(*side, "protobuf") || *side == "controller-runtime" { // the latter asks for it of itself
		config.ContentType = "application/vnd.kubernetes.protobuf"
		config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	}
	settle()
	ctx := context.Background()
	line := map[string]any{"side": *side}
	rss, cpu, began := memory("VmRSS"), cpuSeconds(), time.Now()
	if *watches > 0 {
		idle(ctx, config, *watches)
		settle()
		line["rssPerWatch"] = float64(memory("VmRSS")-rss) / float64(*watches)
		check(json.NewEncoder(os.Stdout).Encode(line))
		return
	}
	all := &events{late: make([]int64, 0, *count)}
	reader := start(ctx, config, *side, all)
	all.wait(*objects)
	line["wall"], line["cpu"], line["objects"] = time.Since(began).Seconds(), cpuSeconds()-cpu, *objects
	line["peakRss"] = memory("VmHWM")
	settle()
	line["baseRss"], line["settledRss"] = rss, memory("VmRSS")
	if *objects > 0 {
		line["bytesPerObject"] = float64(memory("VmRSS")-rss) / float64(*objects)
	}
	if *reconciles && reader != nil {
		keys := keysOf(ctx, reader)
		cpu = cpuSeconds()
		reconcile(ctx, reader, keys)
		line["reconciles"], line["reconcileCpu"] = len(keys), cpuSeconds()-cpu
	}
	if *count > 0 {
		time.Sleep(time.Second) // until the watches that follow the lists are open
		cpu, began = cpuSeconds(), time.Now()
		answer, err := http.Get(fmt.Sprintf("%s/bench/events?count=%d&rate=%g", *server, *count, *rate))
		check(err)
		text, err := io.ReadAll(answer.Body)
		check(err)
		if strings.TrimSpace(string(text)) != "1" {
			log.Fatalf("%s watches", text)
		}
		all.wait(*objects + *count)
		line["eventsWall"], line["eventsCpu"] = time.Since(began).Seconds(), cpuSeconds()-cpu
		sort.Slice(all.late, func(a, b int) bool { return all.late[a] < all.late[b] })
		line["p50"], line["p99"], line["p999"] = percentile(all.late, 0.5), percentile(all.late, 0.99), percentile(all.late, 0.999)
	}
	check(json.NewEncoder(os.Stdout).Encode(line))
}
