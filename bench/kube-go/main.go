// The client-go side of `make bench BENCH=kube`: a SharedInformer over pods that does what bench/kube-informer.ts
// does, speaks the same lines over standard input and output, and is measured by the same meters.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// order is the first line of standard input.
type order struct {
	Server      string `json:"server"`
	CA          string `json:"ca"`
	Certificate string `json:"cert"`
	Key         string `json:"key"`
	Namespace   string `json:"namespace"`
	// Objects after which the cache counts as filled.
	Objects int `json:"objects"`
	// Protobuf, which the API server has for built-in kinds only, in place of JSON.
	Protobuf bool `json:"protobuf"`
}

// recorder notes what the handler is told.
type recorder struct {
	lock    sync.Mutex
	told    *sync.Cond
	added   int
	objects int
	filled  chan struct{}
	// resourceVersion and monotonic nanoseconds of each update.
	seen   [][2]int64
	newest int64
}

func (r *recorder) OnAdd(any, bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.added++
	if r.added == r.objects {
		close(r.filled)
	}
}

func (r *recorder) OnUpdate(_, object any) {
	version, err := strconv.ParseInt(object.(*corev1.Pod).ResourceVersion, 10, 64)
	if err != nil {
		log.Fatalf("resourceVersion of %s: %v", object.(*corev1.Pod).Name, err)
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.seen = append(r.seen, [2]int64{version, monotonic()})
	r.newest = max(r.newest, version)
	r.told.Broadcast()
}

// await returns all updates once that to version is among them.
func (r *recorder) await(version int64) [][2]int64 {
	r.lock.Lock()
	defer r.lock.Unlock()
	for r.newest < version {
		r.told.Wait()
	}
	return r.seen
}

func (r *recorder) OnDelete(any) {}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	if !input.Scan() {
		log.Fatal("the order is missing: one line of JSON on standard input")
	}
	var told order
	if err := json.Unmarshal(input.Bytes(), &told); err != nil {
		log.Fatalf("read the order: %v", err)
	}
	events := &recorder{objects: told.Objects, filled: make(chan struct{}), seen: make([][2]int64, 0, 1<<17)}
	events.told = sync.NewCond(&events.lock)
	started := time.Now()
	if err := inform(context.Background(), told, events); err != nil {
		log.Fatal(err)
	}
	<-events.filled
	say(map[string]any{"syncSeconds": time.Since(started).Seconds()})
	for input.Scan() {
		question, argument, _ := strings.Cut(input.Text(), " ")
		switch question {
		case "heap":
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			say(map[string]any{"heapBytes": memory.HeapAlloc})
		case "seen":
			version, err := strconv.ParseInt(argument, 10, 64)
			if err != nil {
				log.Fatalf("seen: %v", err)
			}
			say(map[string]any{"seen": events.await(version)})
		}
	}
}

func inform(ctx context.Context, told order, handler cache.ResourceEventHandler) error {
	contentType := "application/json"
	if told.Protobuf {
		contentType = "application/vnd.kubernetes.protobuf"
	}
	// No client-side limit (QPS), as controller-runtime has it.
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: told.Server,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: []byte(told.CA), CertData: []byte(told.Certificate), KeyData: []byte(told.Key),
		},
		ContentConfig: rest.ContentConfig{ContentType: contentType},
		QPS:           -1,
		UserAgent:     "virtpod-bench-go/1.0",
	})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(told.Namespace))
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(handler); err != nil {
		return fmt.Errorf("add the handler: %w", err)
	}
	factory.Start(ctx.Done())
	return nil
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, which all processes of the machine share.
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Fatalf("clock_gettime: %v", err)
	}
	return now.Nano()
}

func say(line any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
}
