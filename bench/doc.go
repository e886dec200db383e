// Package bench measures keyless next to what people use otherwise: the harness
// runs the contestants in turn, the benchmarks of this package compare caches.
package bench
