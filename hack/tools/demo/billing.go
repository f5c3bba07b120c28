package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	plans    = 120
	pageSize = 50
	// refusals is how often /prices refuses before it answers: the sample sync-prices is retried.
	refusals = 2
)

// startBilling serves what a tenant's billing system would, as long as the demo runs.
func (d *demo) startBilling(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(d.overlay.Host, "0"))
	if err != nil {
		return err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%s is not a TCP address", listener.Addr())
	}
	d.overlay.BillingPort = address.Port
	fmt.Printf("   A billing system to sync from: http://%s/plans has %d plans in pages of %d, /prices answers 503 the first %d times.\n",
		address, plans, pageSize, refusals)
	server := &http.Server{Handler: billing(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // it ends with the demo
	return nil
}

// billing has plans in pages, and prices that it refuses at first.
func billing() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plans", func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page")) // without a number: the first
		first := max(page-1, 0) * pageSize
		answer := map[string]any{}
		if first+pageSize < plans {
			answer["next"] = fmt.Sprintf("/plans?page=%d", max(page, 1)+1)
		}
		respond(w, answer, first, min(first+pageSize, plans), func(n int) any {
			return map[string]any{"code": planCode(n), "name": fmt.Sprintf("Fibre %d", n*10), "speed": map[string]int{"down": n * 10, "up": n * 5}}
		})
	})
	var asked atomic.Int32
	mux.HandleFunc("GET /prices", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= refusals {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		respond(w, map[string]any{}, 0, plans, func(n int) any {
			return map[string]any{"plan": planCode(n), "cents": 1940 + n*50}
		})
	})
	return mux
}

func planCode(n int) string { return fmt.Sprintf("plan-%03d", n) }

// respond responds with the items after number first, up to last.
func respond(w http.ResponseWriter, answer map[string]any, first, last int, item func(n int) any) {
	var items []any
	for n := first + 1; n <= last; n++ {
		items = append(items, item(n))
	}
	answer["items"] = items
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that has gone needs no answer
}
