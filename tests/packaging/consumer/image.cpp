// An app that decodes images in one of its two files.

#include "plainnet/io/image.hpp"
#include "plainnet/plainnet.hpp"

plainnet::Index elements(const plainnet::Shape& shape);  // other.cpp

int main() { return elements({.height = 2, .width = 2, .channels = 3}) == 12 ? 0 : 1; }
