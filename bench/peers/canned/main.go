// Canned_server answers as an API server would for generated objects: lists, whole or in pages, and
// watches, as JSON or as protobuf. One and the same for every side of a comparison. It renders
// nothing when it is asked: an object is a copy of a template with a few bytes changed.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	templates    = 64
	firstVersion = 2_000_000_000
	protobufType = "application/vnd.kubernetes.protobuf"
)

// hole is where a template's placeholder stands.
type hole struct {
	at   int
	mark string
}

// template is one object, rendered, with holes.
type template struct {
	bytes []byte
	holes []hole
}

func newTemplate(text []byte) template {
	one := template{bytes: text}
	for _, mark := range []string{indexMark, nodeMark, versionMark, phaseMark, sentMark} {
		for from := 0; ; {
			at := bytes.Index(text[from:], []byte(mark))
			if at < 0 {
				break
			}
			one.holes = append(one.holes, hole{from + at, mark})
			from += at + len(mark)
		}
	}
	return one
}

// values are what holes are filled with.
type values struct {
	index, node int
	version     int64
	phase       string
	sent        int64
}

func digits(into []byte, number int64) {
	for i := len(into) - 1; i >= 0; i-- {
		into[i] = byte('0' + number%10)
		number /= 10
	}
}

func (t template) append(into []byte, v values) []byte {
	start := len(into)
	into = append(into, t.bytes...)
	for _, one := range t.holes {
		place := into[start+one.at : start+one.at+len(one.mark)]
		switch one.mark {
		case indexMark:
			digits(place, int64(v.index))
		case nodeMark:
			digits(place, int64(v.node))
		case versionMark:
			digits(place, v.version)
		case phaseMark:
			copy(place, v.phase)
		case sentMark:
			digits(place, v.sent)
		}
	}
	return into
}

// form is how a kind is written in one media type.
type form struct {
	items  []template // in a list
	events []template // on a watch, MODIFIED
}

type kind struct {
	apiVersion, name string
	count            int
	json, protobuf   form
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// wrapped is a message as it goes over the wire: magic, type, and the bytes.
func wrapped(apiVersion, name string, raw []byte) []byte {
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: name}, Raw: raw}
	return append([]byte("k8s\x00"), must(unknown.Marshal())...)
}

func framed(object []byte) []byte {
	event := metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Raw: object}}
	text := must(event.Marshal())
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func delimited(tag byte, message []byte) []byte {
	return append(binary.AppendUvarint([]byte{tag}, uint64(len(message))), message...)
}

type protobufObject interface {
	runtime.Object
	Marshal() ([]byte, error)
}

func (k *kind) add(object protobufObject) {
	k.addJSON(string(must(json.Marshal(object)))) // its type is empty, as an item's of a list is
	raw := must(object.Marshal())
	k.protobuf.items = append(k.protobuf.items, newTemplate(delimited(0x12, raw)))
	k.protobuf.events = append(k.protobuf.events, newTemplate(framed(wrapped(k.apiVersion, k.name, raw))))
}

// addJSON takes an object without its type, as items of built-in kinds come, or with it.
func (k *kind) addJSON(text string) {
	typed := text
	if !strings.HasPrefix(text, `{"apiVersion"`) {
		typed = fmt.Sprintf(`{"kind":"%s","apiVersion":"%s",%s`, k.name, k.apiVersion, strings.TrimPrefix(text, "{"))
	}
	k.json.items = append(k.json.items, newTemplate([]byte(text)))
	k.json.events = append(k.json.events, newTemplate([]byte(`{"type":"MODIFIED","object":`+typed+"}\n")))
}

// server holds the kinds by their plural, and who watches pods.
type server struct {
	kinds map[string]*kind
	nodes int

	mutex    sync.Mutex
	watching map[chan load]bool
}

// load is what a watch is to send.
type load struct {
	events int
	rate   float64 // a second; 0: as fast as they are read
	done   *sync.WaitGroup
}

func newServer(pods, nodes, pools int) *server {
	random := rand.New(rand.NewSource(1))
	s := &server{kinds: map[string]*kind{}, nodes: max(nodes, 1), watching: map[chan load]bool{}}
	podKind := &kind{apiVersion: "v1", name: "Pod", count: pods}
	nodeKind := &kind{apiVersion: "v1", name: "Node", count: nodes}
	poolKind := &kind{apiVersion: "spillway.dev/v1alpha1", name: "TrainingPool", count: pools}
	for range templates {
		podKind.add(podTemplate(random))
		nodeKind.add(nodeTemplate(random))
		poolKind.addJSON(poolTemplate(random))
	}
	s.kinds["pods"], s.kinds["nodes"], s.kinds["trainingpools"] = podKind, nodeKind, poolKind
	for plural, of := range map[string][2]string{"jobs": {"batch/v1", "Job"}, "deployments": {"apps/v1", "Deployment"}, "services": {"v1", "Service"},
		"poddisruptionbudgets": {"policy/v1", "PodDisruptionBudget"}, "priorityclasses": {"scheduling.k8s.io/v1", "PriorityClass"},
		"nodegroups": {"spillway.dev/v1alpha1", "NodeGroup"}, "inferencepools": {"spillway.dev/v1alpha1", "InferencePool"},
		"poolquotas": {"spillway.dev/v1alpha1", "PoolQuota"}} {
		s.kinds[plural] = &kind{apiVersion: of[0], name: of[1]}
	}
	return s
}

func (s *server) item(index int, version int64) values {
	return values{index: index, node: index % s.nodes, version: version, phase: "Running", sent: 0}
}

func (s *server) list(w http.ResponseWriter, r *http.Request, k *kind, binaryForm bool) {
	query := r.URL.Query()
	count := k.count
	if query.Get("labelSelector") != "" || query.Get("fieldSelector") != "" {
		count = 0 // nothing here has what selectors ask for
	}
	first, _ := strconv.Atoi(query.Get("continue"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	if limit == 0 || query.Get("resourceVersion") == "0" { // from the watch cache the whole list comes, whatever the limit
		limit = count
	}
	end := min(first+limit, count)
	next := ""
	if end < count {
		next = strconv.Itoa(end)
	}
	forms := k.json
	meta := metav1.ListMeta{ResourceVersion: strconv.Itoa(firstVersion), Continue: next}
	buffer := make([]byte, 0, 1<<20)
	if binaryForm {
		forms = k.protobuf
		head := delimited(0x0a, must(meta.Marshal()))
		size := len(head)
		for i := first; i < end; i++ {
			size += len(forms.items[i%templates].bytes)
		}
		// runtime.Unknown: the type, then the bytes, then two empty texts, as its Marshal writes them.
		unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: k.apiVersion, Kind: k.name + "List"}}
		typed := must(unknown.TypeMeta.Marshal())
		buffer = append(append(buffer, "k8s\x00"...), delimited(0x0a, typed)...)
		buffer = append(binary.AppendUvarint(append(buffer, 0x12), uint64(size)), head...)
		w.Header().Set("Content-Type", protobufType)
	} else {
		buffer = fmt.Appendf(buffer, `{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"%s","continue":"%s"},"items":[`,
			k.name, k.apiVersion, meta.ResourceVersion, next)
		w.Header().Set("Content-Type", "application/json")
	}
	for i := first; i < end; i++ {
		if !binaryForm && i > first {
			buffer = append(buffer, ',')
		}
		buffer = forms.items[i%templates].append(buffer, s.item(i, firstVersion-int64(i)-1))
		if len(buffer) > 1<<20-1<<15 {
			if _, err := w.Write(buffer); err != nil {
				return
			}
			buffer = buffer[:0]
		}
	}
	if !binaryForm {
		buffer = append(buffer, "]}\n"...)
	}
	_, _ = w.Write(buffer)
}

func bookmark(k *kind, binaryForm bool) []byte {
	version := strconv.Itoa(firstVersion)
	if !binaryForm {
		return fmt.Appendf(nil, `{"type":"BOOKMARK","object":{"kind":"%s","apiVersion":"%s","metadata":{"resourceVersion":"%s"}}}`+"\n", k.name, k.apiVersion, version)
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}} // other kinds have their metadata in the same place
	event := metav1.WatchEvent{Type: "BOOKMARK", Object: runtime.RawExtension{Raw: wrapped(k.apiVersion, k.name, must(pod.Marshal()))}}
	text := must(event.Marshal())
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func (s *server) watch(w http.ResponseWriter, r *http.Request, k *kind, binaryForm bool) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/json")
	if binaryForm {
		w.Header().Set("Content-Type", protobufType+";stream=watch")
	}
	loads := make(chan load)
	if k.name == "Pod" && r.URL.Query().Get("labelSelector") == "" {
		s.mutex.Lock()
		s.watching[loads] = true
		s.mutex.Unlock()
		defer func() {
			s.mutex.Lock()
			delete(s.watching, loads)
			s.mutex.Unlock()
		}()
	}
	_, _ = w.Write(bookmark(k, binaryForm))
	_ = control.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Minute):
			_, _ = w.Write(bookmark(k, binaryForm))
			_ = control.Flush()
		case one := <-loads:
			s.send(w, control, k, binaryForm, one)
			one.done.Done()
		}
	}
}

// send writes events; each changes a pod's phase. At a rate: by the clock, whether they are read or not.
func (s *server) send(w http.ResponseWriter, control *http.ResponseController, k *kind, binaryForm bool, one load) {
	forms := k.json
	if binaryForm {
		forms = k.protobuf
	}
	start := time.Now()
	buffer := make([]byte, 0, 1<<17)
	for i := range one.events {
		v := s.item(i%k.count, firstVersion+int64(i)+1)
		if i/k.count%2 == 0 {
			v.phase = "Pending"
		}
		if one.rate > 0 {
			due := start.Add(time.Duration(float64(i) / one.rate * 1e9))
			for time.Now().Before(due) {
				// A sleep of less than a millisecond takes a whole one: it would be what is measured.
			}
			v.sent = due.UnixNano()
		}
		buffer = forms.events[v.index%templates].append(buffer, v)
		if one.rate > 0 || len(buffer) > 1<<16 || i == one.events-1 {
			if _, err := w.Write(buffer); err != nil {
				return
			}
			if one.rate > 0 || i == one.events-1 {
				_ = control.Flush()
			}
			buffer = buffer[:0]
		}
	}
}

// events has all who watch pods be sent events, and answers when they are written.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	count, _ := strconv.Atoi(r.URL.Query().Get("count"))
	rate, _ := strconv.ParseFloat(r.URL.Query().Get("rate"), 64)
	var done sync.WaitGroup
	s.mutex.Lock()
	watching := len(s.watching)
	for loads := range s.watching {
		done.Add(1)
		loads <- load{count, rate, &done}
	}
	s.mutex.Unlock()
	done.Wait()
	fmt.Fprintln(w, watching)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/bench/events" {
		s.events(w, r)
		return
	}
	plural := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	k, known := s.kinds[plural]
	query := r.URL.Query()
	if !known || query.Get("sendInitialEvents") == "true" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"not served"}`)
		return
	}
	binaryForm := strings.HasPrefix(r.Header.Get("Accept"), protobufType) && len(k.protobuf.items) > 0
	if watch := query.Get("watch"); watch == "true" || watch == "1" {
		s.watch(w, r, k, binaryForm)
		return
	}
	s.list(w, r, k, binaryForm)
}

// bytesOf is the mean length of an object of a form.
func bytesOf(f form) int {
	sum := 0
	for _, one := range f.items {
		sum += len(one.bytes)
	}
	return sum / max(len(f.items), 1)
}

func main() {
	pods := flag.Int("pods", 20_000, "pods")
	nodes := flag.Int("nodes", 5_000, "nodes")
	pools := flag.Int("pools", 0, "TrainingPools")
	flag.Parse()
	s := newServer(*pods, *nodes, *pools)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Printf(`{"port":%d,"pod":%d,"podProtobuf":%d,"node":%d,"pool":%d}`+"\n", listener.Addr().(*net.TCPAddr).Port,
		bytesOf(s.kinds["pods"].json), bytesOf(s.kinds["pods"].protobuf), bytesOf(s.kinds["nodes"].json), bytesOf(s.kinds["trainingpools"].json))
	log.Fatal(http.Serve(listener, s))
}
