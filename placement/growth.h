#pragma once

namespace spillway::placement {

// What decides how many nodes an elastic group is to have, in numbers of them.
struct Growth {
  int there = 0;   // and not given back
  int coming = 0;  // of these
  int asked = 0;   // for by others
  int before = 0;  // it was to have so many before
  int step = 1;
  int least = 0;
  int most = 0;
  int anyway = 0;  // whoever asks: those that have come, and its minNodes

  // Where so many more are asked for, at least 0.
  [[nodiscard]] int Desired(int more) const;
  // So many more it has for them: more than those where it gets them in steps, fewer where some
  // come anyway.
  [[nodiscard]] int CausedBy(int more) const { return Desired(more) - Desired(0); }
  // Those that a step brings beyond all that are asked for, made or not: fewer than a step.
  [[nodiscard]] int LeftOfStep(int more) const;
  // Is a step made necessary, or needed on, whose rest nobody pays for yet?
  [[nodiscard]] bool TakesAStep(int more) const;
  // Whoever asks for so many more pays for so many: with what is left of the step that it takes.
  // Whoever paid for what was left of the last step pays for so many fewer then.
  [[nodiscard]] int PaidFor(int more) const;
  [[nodiscard]] int SparedBy(int more) const;
};

}  // namespace spillway::placement
