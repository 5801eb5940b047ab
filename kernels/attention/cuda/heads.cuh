// Where the matrix of a head lies.
//
// A model makes queries, keys and values of all heads in one product, (batch, rows, 3, heads,
// width), and wants the result as (batch, rows, heads, width): a head's rows lie apart, with those
// of other heads between them. Kernels read and write them there, since copies that put them side
// by side would each read and write all of it once more. A row itself lies in one piece, 128 bytes
// and more, so that nothing else is read with it.
#pragma once
#include "primitives.cuh"

struct Strides {
  int batch, head, row;  // from one to the next, in numbers
};

// Head `head` of all, of which `heads` make a batch: its first number.
DEVICE const float* head_of(const float* x, Strides strides, int head, int heads) {
  return x + (long long)(head / heads) * strides.batch + (long long)(head % heads) * strides.head;
}

// Where the result of that head starts in (batch, rows, heads, width); heads * width to a next row.
DEVICE u64 result_of(int head, int heads, int rows, int width) {
  return ((u64)(head / heads) * rows * heads + head % heads) * width;
}

// The same where other results lie between two rows, which are `apart` numbers from each other.
DEVICE u64 result_of(int head, int heads, int rows, int width, int apart) {
  return (u64)(head / heads) * rows * apart + (u64)(head % heads) * width;
}

// How many heads of keys a batch has, where `group` heads of queries share one. A group may be of
// several batches.
DEVICE int key_heads_of(int heads, int group) { return max(1, heads / group); }
