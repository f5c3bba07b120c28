package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// source plays a billing system: it serves plans in pages, and prices only from the third request
// on.
type source struct {
	listener net.Listener
	port     int
	refusals atomic.Int32
}

// refusals is how many requests to /prices fail before one succeeds.
const refusals = 2

func (d *demo) startSource(ctx context.Context) error {
	d.title("A billing system to sync from")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(d.host, "0"))
	if err != nil {
		return err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%s is not a TCP address", listener.Addr())
	}
	d.source = &source{listener: listener, port: address.Port}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plans", d.source.plans)
	mux.HandleFunc("GET /prices", d.source.prices)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			d.say("the billing system stopped: %v", err)
		}
	}()
	d.say("%s/plans has %d plans in pages of %d", d.source.url(), plansInAll, plansPerPage)
	d.say("%s/prices answers 503 the first %d times", d.source.url(), refusals)
	return nil
}

func (s *source) url() string { return "http://" + s.listener.Addr().String() }

const (
	plansInAll   = 120
	plansPerPage = 50
)

type plan struct {
	Code  string `json:"code"`
	Name  string `json:"name"`
	Speed speed  `json:"speed"`
}

type speed struct {
	Down int `json:"down"`
	Up   int `json:"up"`
}

// plans serves a page, with the URL of the next one.
func (s *source) plans(w http.ResponseWriter, r *http.Request) {
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 {
		page = 1
	}
	var answer struct {
		Items []plan `json:"items"`
		Next  string `json:"next,omitempty"`
	}
	for n := (page-1)*plansPerPage + 1; n <= min(page*plansPerPage, plansInAll); n++ {
		answer.Items = append(answer.Items, plan{
			Code: fmt.Sprintf("plan-%03d", n), Name: fmt.Sprintf("Fibre %d", n*10), Speed: speed{Down: n * 10, Up: n * 5},
		})
	}
	if page*plansPerPage < plansInAll {
		answer.Next = fmt.Sprintf("/plans?page=%d", page+1)
	}
	respond(w, answer)
}

type price struct {
	Plan  string `json:"plan"`
	Cents int    `json:"cents"`
}

// prices is down for maintenance at first.
func (s *source) prices(w http.ResponseWriter, _ *http.Request) {
	if s.refusals.Add(1) <= refusals {
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		return
	}
	var answer struct {
		Items []price `json:"items"`
	}
	for n := range plansInAll {
		answer.Items = append(answer.Items, price{Plan: fmt.Sprintf("plan-%03d", n+1), Cents: 1990 + n*50})
	}
	respond(w, answer)
}

func respond(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone needs no answer.
	_ = json.NewEncoder(w).Encode(answer)
}
