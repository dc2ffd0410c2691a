#pragma once

#include <vector>

#include "serving.h"

// Ways to follow a demand, Spillway's among them. Cells stand in the order in which a scheduler
// with preferences would fill them. What is needed is the demand over `target`, in percent.
// Replicas go when they have not been needed for `window`, unless something else is said.
namespace spillway::bench {

// An InferencePool with a variant for each cell, HomeFirst and Weighted, whose spec.replicas
// somebody sets to what is needed in units. All else is at its default. Each plan is verified.
struct PoolSettings {
  placement::Throughput unit = 1;
  Seconds spill_after{120};
};
ServingPolicy Spillway(const std::vector<ServingCell>& cells, const PoolSettings& settings,
                       int target, Seconds window);

// The cheapest mix for a need that is known beforehand, all the time.
ServingPolicy StaticMix(const std::vector<ServingCell>& cells, placement::Throughput need);

enum class GoesFirst {
  kDoubledUp,  // as a ReplicaSet does it: pods that share their node with others
  kDearest,    // as somebody sees to who writes the annotation pod-deletion-cost
};

// A HorizontalPodAutoscaler of the first cell's variant, otherwise as Kubernetes has it by default:
// 10 % tolerance, at most twice as many or 4 more in one step. Its pods go to the first cell that
// has room.
ServingPolicy HpaLike(int target, Seconds window, GoesFirst first);

// llm-d's workload-variant-autoscaler: short of demand ÷ target, the cell with the lowest price by
// throughput grows; beyond demand ÷ (target - 15), the dearest replicas go. Between the two nothing
// moves. Each cell has a HorizontalPodAutoscaler with the window.
ServingPolicy GreedyMix(int target, Seconds window);

// AIBrix' optimizer: the need, of now or of the last 240 s if that is more, in four slices, each of
// them served by one cell; the cheapest such mix, from scratch each time, of those that the cells
// can have. Each cell has an autoscaler with the window.
ServingPolicy SlicedMix(int target, Seconds window);

// Knows the demand: has what the next start-up time needs at its most, adds the cheapest, and keeps
// nothing for longer. With equal start-up times nobody who is never short of the need can have
// less, but for a step and a replica.
ServingPolicy Clairvoyant(std::vector<placement::Throughput> demand, int target);

}  // namespace spillway::bench
